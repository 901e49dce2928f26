from django.urls import path

from . import views

urlpatterns = [
    path("", views.front),
    path("posts/<int:number>/", views.show),
    path("api/posts/<int:number>/comments", views.comment),
]
